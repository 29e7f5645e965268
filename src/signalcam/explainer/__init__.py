"""From a model and inputs to a result: the stages of one call."""
