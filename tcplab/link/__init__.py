"""What happens to a frame between the hosts: rules by predicate, the wire's own delay, and the third party `x`."""
