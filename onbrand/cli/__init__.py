"""The commands. Each reads the settings, starts what it names, and shows what came of it."""
