"""The networks, as plain torch modules: embedding, attention, encoder, decoder, bridge, loss."""
