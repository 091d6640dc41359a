"""Where counts lie: bins, scanners, cameras, detector pairs, single events."""
