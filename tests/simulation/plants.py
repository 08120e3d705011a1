"""x"""
from simulation.library import Edit
PLANTS={}
def hunt(*a): return None
