"""Q7: Does the Gated DeltaNet state become direction-shaped?

Recurrent states are read at the last token of the user's content, for conversations that end with a direction, for reports that
tell the same doings with the same words, and for small talk. Do the directions lie closer together, and further from the rest, after
training? Held against sham trainings that changed the states as much, and against opposite trainings; several adapters of each.
And causally: the trained model answers with base's states put in at the end of the user's turn. If the states carry what was
learned, its log-odds fall. "Moved, but not direction-shaped" is a possible answer. Without such layers the question does not apply.
"""
