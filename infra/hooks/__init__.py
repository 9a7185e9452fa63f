"""What azd runs before and after it deploys: what Bicep can't do. Python's standard library, `az` and `azd`, no more.

Every hook may be run again: it looks for what is there and makes the rest. A failure is one line, and nothing that was
done before it has to be undone. `azure.yaml` names the hooks; docs/deploy.md says the same steps by hand.
"""
