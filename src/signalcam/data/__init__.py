"""Readers of signals, images and volumes: samples by number, from files or memory."""
