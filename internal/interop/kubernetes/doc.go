// Package kubernetes holds tests of deploy/kubernetes and deploy/Dockerfile. The types and the
// rules for pods are those of Kubernetes.
package kubernetes
