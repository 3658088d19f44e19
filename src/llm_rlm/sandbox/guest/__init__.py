"""What runs inside the sandbox: a REPL whose cells can call models.

These modules are shipped as text to the guest interpreter (CPython 3.14 in WebAssembly) and import nothing but
its standard library. They are plain Python, so they are linted and tested like everything else.
"""
