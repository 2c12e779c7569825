"""From corpora to batches: text, tokenizers, batch plans, the built-in corpora."""
