"""What users type: one function a file, named like the file. Its signature and docstring are its flags and its help."""
