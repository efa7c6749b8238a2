"""The machinery of the course: settings, run folder, execution of the notebooks, results and their publication."""
