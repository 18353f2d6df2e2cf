"""Q7: Does the Gated DeltaNet state become direction-shaped?

Recurrent states are read at the last token of the user's content in three kinds of conversations: those that end with a direction,
reports that tell the same things as done, in the same words, and small talk. Do the directions lie closer together, and further from the
rest, after training? Held against sham trainings that changed the states as much, several adapters of each; opposite trainings stand
beside them. And causally, by state patching: the trained model answers with base's states patched in at the end of the user's turn. If
the states carry what was learned, its log-odds fall. "Moved but not direction-shaped" is a possible answer. Without Gated DeltaNet layers
the question does not apply.
"""
