"""Models behind services. Only this folder knows the libraries of services."""
