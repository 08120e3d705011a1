"""One file for each thing that is measured; each has ``measure(run)``, which returns figures by name."""
