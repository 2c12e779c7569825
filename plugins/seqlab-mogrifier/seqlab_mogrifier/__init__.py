"""The Mogrifier LSTM, whose input and state modulate each other before every step."""
