"""The check of the Bicep files without Azure: `python -m infra.check`.

Microsoft's compiler is in no package registry. This reads the files with a grammar, and compares them with the types
that Microsoft publishes for Python (`shapes`), with our own rules (`rules`) and with the settings (`settings`). It
knows what a resource may hold. It can't know whether Azure has room for it, or whether somebody may make it.
"""
