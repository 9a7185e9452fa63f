"""`onbrand doctor`: looks at a configuration, and at what runs with it, and says what to mend. It changes nothing."""
