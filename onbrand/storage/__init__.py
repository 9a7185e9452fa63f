"""The object store, on a local disk or in Azure Blob Storage. The only package that imports obstore."""
