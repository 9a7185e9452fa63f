// Identities and their right to pull images come before the apps: a role takes minutes until it counts.
param environmentName string
param location string
param tags object
param registryName string

// AcrPull: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
var pullRole = '7f951dda-4ed3-4680-a7ca-43fe172d538d'

// `database` owns the database and can do nothing else. The API, the worker and the jobs carry it beside their own.
var names = ['api', 'worker', 'database']

resource identities 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = [for name in names: {
  name: 'onbrand-${environmentName}-${name}'
  location: location
  tags: tags
}]

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registryName
}

resource pulls 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for i in range(0, 2): {
  name: guid(registry.id, names[i], pullRole)
  scope: registry
  properties: {
    principalId: identities[i].properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', pullRole)
  }
}]

output registryServer string = registry.properties.loginServer
output api object = {
  id: identities[0].id
  clientId: identities[0].properties.clientId
  principalId: identities[0].properties.principalId
}
output worker object = {
  id: identities[1].id
  clientId: identities[1].properties.clientId
  principalId: identities[1].properties.principalId
}
output database object = {
  id: identities[2].id
  name: identities[2].name
  clientId: identities[2].properties.clientId
  principalId: identities[2].properties.principalId
}
