"""Where it runs: sessions, spawning, the command line, the simulator."""
