"""What needs programs of Debian's: apps that take certificates, a browser, Prometheus. `make system-test` runs it."""
