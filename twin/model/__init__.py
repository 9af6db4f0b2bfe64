"""The factory as plain numpy arrays: what the stage compiles to and what both engines read. No I/O, no GPU, no USD."""
