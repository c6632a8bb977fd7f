"""The network shell: connections, REST calls, and what runs them."""
