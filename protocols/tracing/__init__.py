"""What is said of where the time and the money went: the trace's context, and the records that spans are made of."""
