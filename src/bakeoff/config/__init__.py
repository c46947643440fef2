"""The project file: its sections, what they may say, how it is read and checked."""
