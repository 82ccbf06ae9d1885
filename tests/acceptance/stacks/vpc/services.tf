# Services inside of the network, and records of what passes.

resource "aws_vpc_endpoint" "gateway" {
  vpc_id          = aws_vpc.main.id
  service_name    = var.gateway_service
  route_table_ids = var.changed ? [aws_route_table.private.id, aws_route_table.public.id] : [aws_route_table.private.id]
  policy = !var.changed ? null : jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = "*", Action = "*", Resource = "*" }]
  })
}

# What lets a group's members reach the service.
resource "aws_vpc_security_group_egress_rule" "gateway" {
  security_group_id = aws_security_group.app.id
  prefix_list_id    = aws_vpc_endpoint.gateway.prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_endpoint" "interface" {
  vpc_id              = aws_vpc.main.id
  service_name        = var.interface_service
  vpc_endpoint_type   = "Interface"
  subnet_ids          = var.changed ? [aws_subnet.private[0].id] : aws_subnet.private[*].id
  security_group_ids  = var.changed ? [aws_security_group.app.id] : [aws_security_group.web.id]
  private_dns_enabled = true
  tags                = { Name = var.name }
  depends_on          = [aws_ec2_subnet_cidr_reservation.kept, aws_ec2_subnet_cidr_reservation.prefixes]
}

resource "aws_vpc_endpoint" "other" {
  vpc_id             = aws_vpc.other.id
  service_name       = var.interface_service
  vpc_endpoint_type  = "Interface"
  subnet_ids         = [aws_subnet.other.id]
  security_group_ids = [aws_security_group.peer.id]
}

resource "aws_vpc_endpoint" "parts" {
  vpc_id            = aws_vpc.other.id
  service_name      = var.gateway_service
  vpc_endpoint_type = "Gateway"
}

resource "aws_vpc_endpoint_route_table_association" "parts" {
  vpc_endpoint_id = aws_vpc_endpoint.parts.id
  route_table_id  = aws_vpc.other.main_route_table_id
}

resource "aws_flow_log" "bucket" {
  vpc_id                   = aws_vpc.main.id
  traffic_type             = "ALL"
  log_destination_type     = "s3"
  log_destination          = "arn:aws:s3:::flow-logs/vpc"
  log_format               = var.changed ? "$${srcaddr} $${dstaddr} $${action}" : null
  max_aggregation_interval = 60
  destination_options {
    file_format        = "plain-text"
    per_hour_partition = true
  }
}

resource "aws_flow_log" "group" {
  subnet_id            = aws_subnet.private[0].id
  traffic_type         = "REJECT"
  log_destination_type = "cloud-watch-logs"
  log_destination      = "arn:aws:logs:${data.aws_region.here.name}:${aws_vpc.main.owner_id}:log-group:rejected"
  iam_role_arn         = "arn:aws:iam::${aws_vpc.main.owner_id}:role/flow-logs"
  tags                 = { Name = var.name }
}
