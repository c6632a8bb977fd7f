"""Servers that mean harm, and a real capture that has to live with them."""
