"""`onbrand doctor`: checks a configuration and everything that it uses, and says what to fix. It changes nothing."""
