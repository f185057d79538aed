"""What a peer needs: the interfaces the world must offer, and the one it offers to frontends."""
