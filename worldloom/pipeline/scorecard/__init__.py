"""How true the labels are: every annotator scored against rendered worlds and real sequences."""
