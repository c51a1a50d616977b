"""The conversation: from words to a pipeline that a person has accepted. The model proposes, the compiler proves."""
