// Where the containers run, with a GPU profile beside the ordinary one, and where their logs go.
param environmentName string
param location string
param tags object
param gpuProfile string

var gpuProfileName = 'gpu'

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: 'onbrand-${environmentName}'
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: 30
    workspaceCapping: {
      dailyQuotaGb: 1
    }
  }
}

resource environment 'Microsoft.App/managedEnvironments@2026-07-01' = {
  name: 'onbrand-${environmentName}'
  location: location
  tags: tags
  properties: {
    // Through Azure Monitor, so that no key of the workspace is needed.
    appLogsConfiguration: {
      destination: 'azure-monitor'
    }
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
      {
        name: gpuProfileName
        workloadProfileType: gpuProfile
      }
    ]
  }
}

resource toLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'logs'
  scope: environment
  properties: {
    workspaceId: logs.id
    logs: [
      {
        category: 'ContainerAppConsoleLogs'
        enabled: true
      }
      {
        category: 'ContainerAppSystemLogs'
        enabled: true
      }
    ]
  }
}

output id string = environment.id
output gpuProfileName string = gpuProfileName
