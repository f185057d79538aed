"""What things are: identifiers, instants, bounds, network parameters and refusals.

Everything above imports these; they import nothing of ours. A value's type is its proof: it was
checked where it entered.
"""
