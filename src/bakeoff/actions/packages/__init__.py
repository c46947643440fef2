"""Packages: a release as an image, a wheel, a unit of systemd or manifests of Kubernetes, all around one module."""
