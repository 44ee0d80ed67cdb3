"""The engine's inner loops in C, for x86 processors with AVX-512 BF16.

``library.py`` compiles them where they are first needed; whoever calls one has the same in torch,
for machines without such a processor or a C compiler, and as what tests compare it with.
"""
