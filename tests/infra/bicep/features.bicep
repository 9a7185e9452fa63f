// What Bicep's language can do and our own files partly don't: loops, conditions, modules, nested and existing resources.
targetScope = 'resourceGroup'

@description('Where everything is.')
param location string = resourceGroup().location

@allowed(['small', 'large'])
param size string = 'small'

param names array = ['one', 'two']
param isPublic bool = false
param limits object = {
  days: 7
}

var isLarge = size == 'large'
var prefix = 'onbrand${uniqueString(resourceGroup().id)}'
var kinds = {
  'blob-kind': 'StorageV2'
}

resource account 'Microsoft.Storage/storageAccounts@2026-09-01' = {
  name: take(prefix, 24)
  location: location
  kind: kinds['blob-kind']
  sku: {
    name: isLarge ? 'Standard_GRS' : 'Standard_LRS'
  }
  properties: {
    allowBlobPublicAccess: isPublic && !isLarge
    accessTier: isLarge ? 'Cool' : null
  }

  resource blobs 'blobServices' = {
    name: 'default'

    resource containers 'containers' = [for (name, index) in names: {
      name: '${name}-${index}'
      properties: {
        publicAccess: 'None'
        metadata: {
          place: string(index)
        }
      }
    }]
  }
}

resource old 'Microsoft.Storage/storageAccounts@2026-09-01' existing = {
  name: 'somewhere'
  scope: resourceGroup('another')

  resource blobs 'blobServices' existing = {
    name: 'default'
  }
}

resource policies 'Microsoft.Storage/storageAccounts/managementPolicies@2026-09-01' = if (isLarge) {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [for name in names: {
        name: name
        type: 'Lifecycle'
        definition: {
          actions: {
            baseBlob: {
              delete: {
                daysAfterCreationGreaterThan: limits.days
              }
            }
          }
        }
      }]
    }
  }
}

resource identities 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = [for name in names: if (name != 'two') {
  name: name
  location: location
  tags: {}
}]

module parts 'parts/part.bicep' = [for (name, index) in names: {
  name: 'part-${name}'
  params: {
    name: name
    principalId: identities[index].properties.principalId
    isWanted: index > 0
  }
  dependsOn: [
    account::blobs
  ]
}]

module single 'parts/part.bicep' = if (!empty(names)) {
  name: 'single'
  params: {
    name: old::blobs.name
    principalId: identities[0]!.properties.principalId
  }
}

output first string = parts[0].outputs.id
output maybe string = single.?outputs.?id ?? ''
output address object = account.properties.primaryEndpoints
