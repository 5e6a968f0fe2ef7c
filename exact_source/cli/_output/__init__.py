"""How the command line looks: tables, progress, logs, exit codes and shared options."""
