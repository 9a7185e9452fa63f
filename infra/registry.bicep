// The registry, before everything else: the images must be in it when the apps start. infra/hooks/images.py deploys it.
targetScope = 'resourceGroup'

param registryName string
param location string = resourceGroup().location

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  name: registryName
  location: location
  sku: {
    name: 'Basic'
  }
  properties: {
    adminUserEnabled: false
    anonymousPullEnabled: false
  }
}

output server string = registry.properties.loginServer
