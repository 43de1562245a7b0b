"""Composition: settings become pools, bus and services; only here it is known which bus and database were chosen."""
