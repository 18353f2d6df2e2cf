"""Does the Gated DeltaNet state become direction-shaped?

The experiment. Recurrent states are read at the last token of the user's content, for three groups of conversations:
those that end with a direction, reports that tell the same things as done, in the same words, and small talk. Do
directions lie closer together, and further from the rest, after training? The comparison is with sham trainings that
changed the states as much, eight adapters of each or more; opposite trainings stand beside. Then the causal test, state
patching: the trained model answers with base's states put in at the end of the user's turn. If the states carry what
was learned, its log-odds fall.

The answer. Direction-shaped, if both are shown. Descriptive, if only the geometry changed. Moved but not
direction-shaped is a possible answer, and so is unchanged. "Less than" is said only of what is shown to be less than a
tenth: of base's own separation, or of what training moves. A single candidate has no replicate: it is described under
`--profile quick`, and ranked among 19 shams under `--profile full`. Where the model has no such layers, the question
does not apply.
"""
