"""One file per command. A command's module imports torch only inside the functions that need it."""
