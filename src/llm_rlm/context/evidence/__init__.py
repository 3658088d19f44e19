"""What an answer rests on: quotes found in the source bytes, and how much of them was looked at."""
