"""The transducer: lattice losses, distillation on the lattice, prediction network and greedy search."""
