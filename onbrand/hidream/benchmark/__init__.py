"""What a drawing costs on this machine."""
