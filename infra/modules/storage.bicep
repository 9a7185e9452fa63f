// Images and brand packs in one container, the model's weights in another. Nothing is public, and no key opens it.
param accountName string
param location string
param tags object
param retentionDays int
param imagesPrincipalIds array
param modelsPrincipalIds array

// Storage Blob Data Contributor and Reader: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
var contributorRole = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
var readerRole = '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'

resource account 'Microsoft.Storage/storageAccounts@2026-09-01' = {
  name: accountName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: 'Standard_LRS'
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2026-09-01' = {
  parent: account
  name: 'default'
  properties: {
    // What is deleted after its days must be gone.
    deleteRetentionPolicy: {
      enabled: false
    }
    isVersioningEnabled: false
  }
}

resource images 'Microsoft.Storage/storageAccounts/blobServices/containers@2026-09-01' = {
  parent: blobs
  name: 'onbrand'
  properties: {
    publicAccess: 'None'
  }
}

resource models 'Microsoft.Storage/storageAccounts/blobServices/containers@2026-09-01' = {
  parent: blobs
  name: 'models'
  properties: {
    publicAccess: 'None'
  }
}

// Onbrand deletes images itself. This is for the case that it doesn't run: two days later Azure does it.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2026-09-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'images-end'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${images.name}/jobs/']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterCreationGreaterThan: retentionDays + 2
                }
              }
            }
          }
        }
      ]
    }
  }
}

resource imageRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for id in imagesPrincipalIds: {
  name: guid(images.id, id, contributorRole)
  scope: images
  properties: {
    principalId: id
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', contributorRole)
  }
}]

resource modelRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for id in modelsPrincipalIds: {
  name: guid(models.id, id, readerRole)
  scope: models
  properties: {
    principalId: id
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', readerRole)
  }
}]

output account string = account.name
output imagesContainer string = images.name
