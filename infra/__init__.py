"""What brings Onbrand to Azure, or onto one machine with a GPU: templates, hooks, images, and the check of them all."""
