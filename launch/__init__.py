"""Starts runs on machines that are rented: GKE, Slurm, Cloud TPU VMs."""
