"""The object store, on a local disk or in Azure Blob Storage, and files of weights. Only this room imports obstore."""
