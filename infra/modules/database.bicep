// PostgreSQL, the one store and the queue: the smallest server. Programs sign in with Entra. Passwords stay on for one
// role, the scaler's, because the scaler can't use an identity (microsoft/azure-container-apps#1786).
param serverName string
param databaseName string
param location string
param tags object
param ownerName string
param ownerPrincipalId string

@secure()
param adminPassword string

resource server 'Microsoft.DBforPostgreSQL/flexibleServers@2026-10-01' = {
  name: serverName
  location: location
  tags: tags
  sku: {
    name: 'Standard_B1ms'
    tier: 'Burstable'
  }
  properties: {
    version: '17'
    administratorLogin: 'unused'
    administratorLoginPassword: adminPassword
    authConfig: {
      activeDirectoryAuth: 'Enabled'
      passwordAuth: 'Enabled'
      tenantId: tenant().tenantId
    }
    storage: {
      storageSizeGB: 32
      autoGrow: 'Disabled'
    }
    backup: {
      backupRetentionDays: 7
      geoRedundantBackup: 'Disabled'
    }
    highAvailability: {
      mode: 'Disabled'
    }
  }

  resource onbrand 'databases' = {
    name: databaseName
    properties: {
      charset: 'UTF8'
      collation: 'en_US.utf8'
    }
  }

  resource onlyTls 'configurations' = {
    name: 'require_secure_transport'
    properties: {
      value: 'on'
      source: 'user-override'
    }
  }

  // Other resources of Azure, of any tenant, reach the port; they still need a token or the scaler's password.
  resource fromAzure 'firewallRules' = {
    name: 'from-azure'
    properties: {
      startIpAddress: '0.0.0.0'
      endIpAddress: '0.0.0.0'
    }
  }

  resource owner 'administrators' = {
    name: ownerPrincipalId
    properties: {
      principalName: ownerName
      principalType: 'ServicePrincipal'
      tenantId: tenant().tenantId
    }
    // The server changes one thing at a time.
    dependsOn: [
      onbrand
      onlyTls
      fromAzure
    ]
  }
}

output host string = server.properties.fullyQualifiedDomainName
output url string = 'postgresql://${ownerName}@${server.properties.fullyQualifiedDomainName}:5432/${databaseName}?sslmode=verify-full'
