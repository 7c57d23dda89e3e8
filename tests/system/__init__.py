"""What needs programs of Debian's: apps that take rotated certificates, a browser, Prometheus. `make system-test` runs it."""
