"""How a configuration is written and where it comes from; what it means is in `config`."""
