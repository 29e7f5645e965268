"""How each engine of Keras differentiates a run; everything else about Keras is shared."""
